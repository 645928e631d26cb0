#!/usr/bin/env bash
# What runs on each host of a TPU pod, in the copy of the code that lies there:
#
#   worker.sh install SHARED [NFS]   mounts the shared folder, installs the code
#   worker.sh start MODULE ARGS...   runs python -m MODULE ARGS, in the background
#   worker.sh status                 one line: running, ended, lost or never
#   worker.sh stop                   lets the run save and end
#   worker.sh log                    what it printed, from its last lines on
#
# A run outlives the connection that started it. It is started again while it
# ends with one of RESTARTED, at most RESTARTS times, PAUSE seconds later: hosts
# whose peer died need a while to notice.
set -euo pipefail

here=$(readlink -f "$0")
code=$(dirname "$here")/../..
state=$HOME/rlhf_jax_run # Of this host alone.
RESTARTED=${RESTARTED:-75:134:143}
RESTARTS=${RESTARTS:-20}
PAUSE=${PAUSE:-30}

install() {
  local shared=$1 nfs=${2:-}
  if [ -n "$nfs" ] && ! mountpoint -q "$shared"; then
    command -v mount.nfs >/dev/null || sudo apt-get install -y -q nfs-common
    sudo mkdir -p "$shared"
    sudo mount -t nfs -o hard "$nfs" "$shared"
    sudo chmod a+rwx "$shared"
  fi
  if ! [ -d "$shared" ]; then
    echo "$(hostname): there is no folder $shared; mount what all hosts share there, or give --nfs" >&2
    exit 1
  fi
  cd "$code"
  ln -sfn "$shared" runs # Where results and stages are by default.
  # The images of TPU VMs have Python 3.10; uv brings a newer one.
  export PATH=$HOME/.local/bin:$PATH
  command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
  [ -d .venv ] || uv venv --quiet --python 3.12 .venv
  uv pip install --quiet --python .venv/bin/python -e '.[tpu]'
}

running() { # The lock is let go of however its holder ends.
  ! flock --nonblock "$state/lock" true
}

say() { echo "$*" >"$state/status"; }

restarts_on() { [[ :$RESTARTED: == *:$1:* ]]; }

supervise() {
  local count=0 status=0 child='' asked=''
  exec 9>"$state/lock"
  # Whoever asks whether it runs holds the lock for a moment.
  flock --timeout 10 9 || exit 0
  echo $$ >"$state/pid"
  trap 'asked=yes; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true' TERM
  cd "$code"
  while [ -z "$asked" ]; do
    say "running, restarted $count times"
    .venv/bin/python -m "$@" 9>&- &
    child=$!
    status=0
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do # A signal ends `wait` early.
      status=0
      wait "$child" || status=$?
    done
    child=''
    echo "$(date -Is) ended with $status, restarted $count times"
    if ! restarts_on "$status" || ((count >= RESTARTS)); then break; fi
    [ -z "$asked" ] || break
    count=$((count + 1))
    sleep "$PAUSE" 9>&- &
    wait $! || true
  done
  # A machine that goes down sends SIGTERM, too, and its run is to go on.
  if [ -n "$asked" ] && ! [ -e "$state/stop" ]; then
    say lost
  else
    say "ended $status"
  fi
}

start() {
  if running; then
    echo "$(hostname): a run is there already; worker.sh stop ends it"
    return
  fi
  say starting
  rm -f "$state/stop"
  # Or what a shell exports wins over what the machine says of itself.
  unset JAX_COORDINATOR_ADDRESS JAX_NUM_PROCESSES JAX_PROCESS_ID \
    MEGASCALE_COORDINATOR_ADDRESS MEGASCALE_NUM_SLICES MEGASCALE_SLICE_ID \
    TPU_WORKER_ID TPU_WORKER_HOSTNAMES TPU_PROCESS_ADDRESSES
  nohup setsid bash "$here" supervise "$@" >>"$state/log" 2>&1 </dev/null &
  for _ in $(seq 50); do
    running && return
    [ "$(cat "$state/status")" = starting ] || return 0
    sleep 0.1
  done
}

status() {
  local said
  said=$(cat "$state/status" 2>/dev/null || echo never)
  case $said in starting* | running*)
    if ! running; then # What it said last, it said before it let go.
      said=$(cat "$state/status")
      case $said in starting* | running*) said=lost ;; esac
    fi
    ;;
  esac
  echo "rlhf_jax $(hostname) $said"
}

stop() {
  running || return 0
  touch "$state/stop"
  kill -TERM "$(cat "$state/pid")"
}

mkdir -p "$state"
touch "$state/lock"
verb=$1
shift
case $verb in
install | start | status | stop | supervise) "$verb" "$@" ;;
log) exec tail -n "${1:-1000}" -F "$state/log" ;;
*)
  echo "worker.sh knows no $verb" >&2
  exit 2
  ;;
esac
