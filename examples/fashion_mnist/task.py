"""A CNN for Fashion-MNIST, or for scikit-learn's digits where Fashion-MNIST is not installed."""

from pathlib import Path

from torch import nn

from trainers import Split, Task
from trainers.data import Images, digits, fashion_mnist

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class FashionMnist(Task):
    """Images in ten classes; copy this file, and change the two methods into yours.

    `model` makes a new model from arguments that the spec sets under `train.model`; the seed is set for you.
    `data` returns any map-style torch Dataset, the same on every machine.
    The loss is cross entropy and the metrics are accuracy and loss, unless you define `loss` and `metrics` too.

    folder: holds Fashion-MNIST's four IDX files; Debian's package dataset-fashion-mnist puts them here. Without them
    the task is digits of 8x8. For another folder: `class Mine(FashionMnist): folder = Path("…")`.
    """

    folder = Path("/usr/share/datasets/fashion-mnist")

    def model(self, width: int = 32, activation: str = "relu") -> nn.Module:
        """Two convolutions that halve the image, and two layers: 422,346 parameters for width 32 and 28x28 images.

        GroupNorm, unlike BatchNorm, sees one image at a time, so that n gradients add up to one large batch's.

        Args:
            width: channels of the first convolution, >= 1; the second has twice as many.
            activation: a key of ACTIVATIONS.
        Cost: a gradient of 64 images of 28x28 takes 6 ms on one core.
        """
        act = ACTIVATIONS[activation]
        side = 28 if self._installed else 8
        return nn.Sequential(  # [B, 1, side, side]
            nn.Conv2d(1, width, kernel_size=5, stride=2, padding=2),
            nn.GroupNorm(1, width),
            act(),
            nn.Conv2d(width, 2 * width, kernel_size=3, stride=2, padding=1),
            nn.GroupNorm(1, 2 * width),
            act(),
            nn.Flatten(),  # [B, 2 width · (side / 4)²]
            nn.Linear(2 * width * (side // 4) ** 2, 128),
            act(),
            nn.Linear(128, 10),
        )

    def data(self, split: Split) -> Images:
        return fashion_mnist(split, self.folder) if self._installed else digits(split)

    @property
    def _installed(self) -> bool:
        return self.folder.is_dir()
