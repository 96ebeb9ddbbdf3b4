"""Data sets that come with Ripieno or with the machine, and how any data set becomes batches."""

from trainers.data.arrow import ArrowData
from trainers.data.digits import digits
from trainers.data.fashion_mnist import fashion_mnist
from trainers.data.images import Images

__all__ = ["ArrowData", "Images", "digits", "fashion_mnist"]
