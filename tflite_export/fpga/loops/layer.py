"""A layer as an accelerator sees it: six loops and the feature maps around them."""

import dataclasses

MAC_KINDS = ("conv", "depthwise", "fully_connected")
WINDOW_KINDS = ("conv", "depthwise", "pool")
STREAM_KINDS = ("elementwise", "upsample")
FREE_KINDS = ("concat", "host")
KINDS = MAC_KINDS + ("pool",) + STREAM_KINDS + FREE_KINDS


@dataclasses.dataclass(frozen=True)
class Layer:
    """The loop nest of one layer.

    Output map `of` at pixel (`ox`, `oy`) is a sum over `n_if` input maps and `n_kx * n_ky` kernel positions, so a
    layer has `n_kx * n_ky * n_if * n_ox * n_oy * n_of` multiply-accumulates. The names of the loops follow Ma et al.,
    "Optimizing Loop Operation and Dataflow in FPGA Acceleration of Deep Convolutional Neural Networks", FPGA 2017.

    Attributes:
        name: The path of the Keras layer, or the name of the .tflite tensor.
        kind: One of `"conv"`, `"depthwise"`, `"fully_connected"`, `"pool"`, `"elementwise"`, `"upsample"`; `"concat"`
            and `"host"` rows cost nothing.
        n_kx: Kernel width.
        n_ky: Kernel height.
        n_if: Input maps that one output map reads: all of them for a convolution, one for a depthwise layer or a
            pooling.
        n_ox: Output width in pixels.
        n_oy: Output height in pixels.
        n_of: Output maps.
        n_ix: Input width without padding; `None` takes the width that the kernel covers.
        n_iy: Input height without padding; `None` likewise.
        stride: Stride in x and y.
        dilation: Distance of the kernel's taps in x and y.
        padding: Rows and columns of zeros, `((left, right), (top, bottom))`.
        groups: Independent groups of input maps; the layer reads `n_if * groups` maps.
        biases: Values beside the kernel that are read with it: one a map for a bias (batch normalisation is folded
            into it).
        extra_input_elements: Elements of the second and further operands of an elementwise layer.
        operands: How many tensors the layer reads.
        fused: The paths of the operations that this layer does on the way out, without traffic of their own.
    """

    name: str
    kind: str
    n_kx: int = 1
    n_ky: int = 1
    n_if: int = 1
    n_ox: int = 1
    n_oy: int = 1
    n_of: int = 1
    n_ix: int | None = None
    n_iy: int | None = None
    stride: tuple = (1, 1)
    dilation: tuple = (1, 1)
    padding: tuple = ((0, 0), (0, 0))
    groups: int = 1
    biases: int = 0
    extra_input_elements: int = 0
    operands: int = 1
    fused: tuple = ()

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: kind={self.kind!r}")
        for field in ("n_kx", "n_ky", "n_if", "n_ox", "n_oy", "n_of", "groups"):
            if getattr(self, field) < 1:
                raise ValueError(f"`{field}` must be at least 1. Received: {field}={getattr(self, field)}")
        if self.n_of % self.groups:
            raise ValueError(
                f"`groups` must divide the {self.n_of} output maps of layer {self.name!r}. "
                f"Received: groups={self.groups}"
            )
        for axis, field in enumerate(("n_ix", "n_iy")):
            if getattr(self, field) is None:
                object.__setattr__(self, field, max(1, self.span(axis) - sum(self.padding[axis])))

    def span(self, axis):
        """Input positions that the whole output covers along x (0) or y (1), padding included."""
        n_out = (self.n_ox, self.n_oy)[axis]
        return (n_out - 1) * self.stride[axis] + self.reach(axis)

    def reach(self, axis):
        """Input positions that one output pixel covers along x (0) or y (1): the dilated kernel."""
        return ((self.n_kx, self.n_ky)[axis] - 1) * self.dilation[axis] + 1

    @property
    def channelwise(self):
        """Whether an output map reads one input map only, so that maps can be tiled on both sides at once."""
        return self.kind in ("depthwise", "pool")

    @property
    def input_maps(self):
        """Maps of the (first) input tensor."""
        return self.n_if * self.groups

    @property
    def macs(self):
        """Multiply-accumulates; 0 for a layer that has no weights to multiply with."""
        if self.kind not in MAC_KINDS:
            return 0
        return self.n_kx * self.n_ky * self.n_if * self.n_ox * self.n_oy * self.n_of

    @property
    def weights(self):
        """Elements of the kernel, biases left out."""
        return self.n_kx * self.n_ky * self.n_if * self.n_of if self.kind in MAC_KINDS else 0

    @property
    def input_elements(self):
        """Elements of all input tensors."""
        return self.n_ix * self.n_iy * self.input_maps + self.extra_input_elements

    @property
    def output_elements(self):
        """Elements of the output tensor."""
        return self.n_ox * self.n_oy * self.n_of
