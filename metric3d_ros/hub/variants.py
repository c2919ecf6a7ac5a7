"""The published variants and the names of their files; apart, since what downloads need takes megabytes."""

FILES = {
    "vit_small": "metric_depth_vit_small_800k.pth",
    "vit_large": "metric_depth_vit_large_800k.pth",
    "vit_giant2": "metric_depth_vit_giant2_800k.pth",
    "convnext_tiny": "convtiny_hourglass_v1.pth",
    "convnext_large": "convlarge_hourglass_0.3_150_step750k_v1.1.pth",
}
VARIANTS = tuple(FILES)
