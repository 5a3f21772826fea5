"""A chain of transforms as one warp, a blur, one colour matrix and some rectangles set to a value, each done once.

`chain.FusedChain` takes torchvision's transforms as they are configured; `geometry`, `appearance` and `rectangles` know
what each of them draws and does; `kernels` does it, image by image or batch-wise.
"""
