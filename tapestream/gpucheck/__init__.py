"""What can be known of the GPU path on a machine without a GPU, and one go over all of it on one that has.

``python -m tapestream.gpucheck`` is for developers, behind ``make check-gpu``, ``make check-gpu-names``,
``make docs-gpu``, ``make test-gpu`` and ``make bench-gpu``.
"""
