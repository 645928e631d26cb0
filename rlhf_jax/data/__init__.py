"""Records from files, text to ids, ids to batches."""

from rlhf_jax.data.at_hand import comparisons, demonstrations, prompts
from rlhf_jax.data.batches import Batches
from rlhf_jax.data.chat_templates import SPEAKERS
from rlhf_jax.data.collation import collate
from rlhf_jax.data.curriculum import Curriculum
from rlhf_jax.data.encoding import Counts, Example, encode
from rlhf_jax.data.files import Files
from rlhf_jax.data.jsonl import DataError
from rlhf_jax.data.limits import Limits, drop, keep_end, keep_start, refuse
from rlhf_jax.data.mixtures import Mixture
from rlhf_jax.data.packing import Pack, pack
from rlhf_jax.data.problems import Problems
from rlhf_jax.data.readers import Records
from rlhf_jax.data.sources import Corpus, Feedback, Tiers
from rlhf_jax.data.templates import CHAT, PLAIN, MarkerTemplate
from rlhf_jax.data.tokens import Tokenizer, load, train_bpe, word_level
