"""What `import udaseg` offers to other programs: checks and conversions around the functions that the stages use.

NumPy arrays have their channels last, tensors have them first, as is usual in either library. A result is of the kind
of the first argument, and on its device.
"""
