"""The base of a sweep whose runs take a second each."""

BASE = """\
dataset: digits
convert_to_grayscale: true
image_size: null
architecture: test_resnet
num_epochs: 1
batch_size: 128
optimizer_params: {lr: 0.01}
trackers: []
accelerator: cpu
"""
