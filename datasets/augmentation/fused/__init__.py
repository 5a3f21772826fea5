"""A chain of transforms as one warp, a blur, one colour matrix and some rectangles set to a value, each done once.

`chain.FusedChain` takes torchvision's transforms as they are configured; `geometry`, `blur`, `colour` and `erasing`
know what each of them draws and does; `on_cpu` does it image by image, `on_device` batch-wise.
"""
