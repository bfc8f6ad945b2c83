"""EfficientNet-Lite0 (Tan & Le 2019, arXiv:1905.11946): a convolutional network that fits a phone."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224  # pixels of a picture
WIDTH = 1280  # of the features
CLASSES = 1000  # of ImageNet, in the order of their WordNet numbers

# Of every group of blocks: how many, kernel, stride of the first, expansion, channels in and out.
_GROUPS = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
_EPSILON = 1e-3  # of batch normalisation, as in training


class SameConv(nn.Conv2d):
    """A convolution padded as in TensorFlow: an odd pixel goes to the right and the bottom.

    Padded alike on both sides, as in torch, all that follows a stride of two would be shifted by a pixel.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[b, c, h, w]`` to ``[b, c', ceil(h / stride), ceil(w / stride)]``."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        before, after = zip(*(_padding(side, kernel, stride) for side in input.shape[:-3:-1]), strict=True)  # w, h
        padded = F.pad(input, (before[0], after[0], before[1], after[1]))
        return F.conv2d(padded, self.weight, None, self.stride, groups=self.groups)


def _padding(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and after, such that ``ceil(side / stride)`` windows fit."""
    whole = max(0, (-(-side // stride) - 1) * stride + kernel - side)
    return whole // 2, whole - whole // 2


class MobileBlock(nn.Module):
    """Inverted bottleneck (Sandler et al. 2018): widen, filter every channel by itself, narrow.

    Parameters
    ----------
    kernel, stride, expansion
        Of the filter, and how many times wider it is than the input.
    channels, out
        Of input and output.
    """

    def __init__(self, kernel: int, stride: int, expansion: int, channels: int, out: int) -> None:
        super().__init__()
        wide = channels * expansion
        widen = [SameConv(channels, wide, 1, bias=False), nn.BatchNorm2d(wide, _EPSILON), nn.ReLU6()]
        self.layers = nn.Sequential(
            *(widen if expansion > 1 else []),
            SameConv(wide, wide, kernel, stride, groups=wide, bias=False),
            nn.BatchNorm2d(wide, _EPSILON),
            nn.ReLU6(),
            SameConv(wide, out, 1, bias=False),
            nn.BatchNorm2d(out, _EPSILON),
        )
        self.skips = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """``[b, channels, h, w]`` to ``[b, out, h / stride, w / stride]``."""
        y: Tensor = self.layers(x)
        return x + y if self.skips else y


class EfficientNetLite0(nn.Module):
    """4.65 million weights; Lite means ReLU6 in place of swish, and no squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(SameConv(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32, _EPSILON), nn.ReLU6())
        self.blocks = nn.Sequential(
            *(
                MobileBlock(kernel, stride if i == 0 else 1, expansion, channels if i == 0 else out, out)
                for n, kernel, stride, expansion, channels, out in _GROUPS
                for i in range(n)
            )
        )
        self.head = nn.Sequential(SameConv(320, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH, _EPSILON), nn.ReLU6())
        self.classes = nn.Linear(WIDTH, CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        """Features ``[b, 1280]`` of pixels ``[b, 3, 224, 224]``, each ``(value - 127) / 128``."""
        return self.head(self.blocks(self.stem(pixels))).mean((2, 3))  # type: ignore[no-any-return]

    def load_released(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a release, which names its layers in another way and keeps them in the same order."""
        self.load_state_dict(dict(zip(self.state_dict(), weights.values(), strict=True)))
