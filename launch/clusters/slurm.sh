#!/usr/bin/env bash
# One run on the nodes of a Slurm job: slurm.sh MODULE ARGS... (`launch.slurm`
# submits it). Options of sbatch come from there; of the environment:
#
#   PYTHON      an interpreter that all nodes see
#   RESTARTED   statuses after which the job is queued again
#   RESTARTS    how often at most
#   WAIT        seconds in which all processes must be there
set -uo pipefail
cd "${SLURM_SUBMIT_DIR:?is set by sbatch: submit with python -m launch.slurm}" || exit 1

# Of another run, where a shell still exports them; Slurm says where we are.
unset JAX_COORDINATOR_ADDRESS JAX_NUM_PROCESSES JAX_PROCESS_ID JAX_LOCAL_DEVICE_IDS
# With one process for a node jax would take its first GPU alone.
gpus=${SLURM_GPUS_ON_NODE:-1}
if [ "${SLURM_NTASKS_PER_NODE:-1}" = 1 ]; then
  JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((gpus - 1)))
  export JAX_LOCAL_DEVICE_IDS
fi

# Slurm tells the processes (--signal); they save and end, and srun after them.
trap 'echo "SIGTERM: the processes save" >&2' TERM
status=0
srun --kill-on-bad-exit=0 --gpu-bind=none \
  "$PYTHON" -m launch.hosts runs --wait "$WAIT" -- "$@" &
srun=$!
wait "$srun" || status=$?
while kill -0 "$srun" 2>/dev/null; do # A signal ends `wait` early.
  status=0
  wait "$srun" || status=$?
done

count=${SLURM_RESTART_COUNT:-0}
echo "ended with $status, restarted $count times" >&2
if [[ :$RESTARTED: == *:$status:* ]] && ((count < RESTARTS)); then
  # This ends the job; it begins again when nodes are free.
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
