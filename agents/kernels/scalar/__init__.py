"""The scalar step and close functions, written once for every target.

Every module here uses relative imports only and takes ``jit`` from :mod:`.target`. Importing the
folder a second time under another package name, with another ``target``, compiles the same source
for another machine; :mod:`agents.kernels.cuda` does that.

What these functions may use: integers, float64, indexing of one- and two-dimensional arrays, calls
of each other. No allocation, no exception, no library function whose last bit depends on the
platform: ``exp`` and ``log`` are ours (:mod:`.maths`), ``sqrt`` and division are IEEE.
"""
