"""The networks of `structure_speed.py` in plain PyTorch, with the layers and weights of the Keras side."""

import torch
from torch import nn
from torch.nn import functional


def resnet_cifar(depth):
    """ResNet-20, -56, -110, ... with basic blocks and projections, as `cgap_keras.zoo.resnet110`."""
    return ResNet(Basic, ((depth - 2) // 6,) * 3, (16, 32, 64), conv_bn(3, 16, 3), classes=10)


def resnet50():
    """ResNet-50 for images of 224 x 224 pixels, its convolutions with biases, as `keras.applications.ResNet50`."""
    stem = nn.Sequential(conv_bn(3, 64, 7, stride=2, bias=True), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
    return ResNet(Bottleneck, (3, 4, 6, 3), (64, 128, 256, 512), stem, classes=1000)


def vgg19():
    """VGG-19 with batch normalisation for images of 32 x 32 pixels, as `cgap_keras.zoo.vgg19`."""
    layers, incoming = [], 3
    for count, channels in zip((2, 2, 4, 4, 4), (64, 128, 256, 512, 512), strict=True):
        for _ in range(count):
            layers += [conv_bn(incoming, channels, 3), nn.ReLU()]
            incoming = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 10))


def convnext_tiny():
    """ConvNeXt-T with layer scales, as `keras.applications.ConvNeXtTiny`."""
    return ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768), classes=1000)


def conv_bn(incoming, channels, size, stride=1, bias=False):
    convolution = nn.Conv2d(incoming, channels, size, stride, padding=size // 2, bias=bias)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


class ResNet(nn.Module):
    def __init__(self, block, depths, widths, stem, classes):
        super().__init__()
        blocks, incoming = [], widths[0]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            for position in range(depth):
                blocks.append(block(incoming, width, stride=2 if stage and not position else 1))
                incoming = width * block.expansion
        self.stem, self.blocks, self.head = stem, nn.Sequential(*blocks), nn.Linear(incoming, classes)

    def forward(self, images):
        x = self.blocks(functional.relu(self.stem(images)))
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


class Block(nn.Module):
    """A residual block; the shortcut is projected where the width changes."""

    def __init__(self, incoming, outgoing, stride, residual):
        super().__init__()
        self.residual = residual
        self.shortcut = conv_bn(incoming, outgoing, 1, stride, self.bias) if incoming != outgoing else nn.Identity()

    def forward(self, x):
        return functional.relu(self.residual(x) + self.shortcut(x))


class Basic(Block):
    expansion, bias = 1, False

    def __init__(self, incoming, width, stride):
        first, second = conv_bn(incoming, width, 3, stride), conv_bn(width, width, 3)
        super().__init__(incoming, width, stride, nn.Sequential(first, nn.ReLU(), second))


class Bottleneck(Block):
    expansion, bias = 4, True

    def __init__(self, incoming, width, stride):
        reduce, middle = conv_bn(incoming, width, 1, stride, bias=True), conv_bn(width, width, 3, bias=True)
        expand = conv_bn(width, 4 * width, 1, bias=True)
        super().__init__(incoming, 4 * width, stride, nn.Sequential(reduce, nn.ReLU(), middle, nn.ReLU(), expand))


class ConvNeXt(nn.Module):
    def __init__(self, depths, widths, classes):
        super().__init__()
        stages = [nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), ChannelNorm(widths[0]))]
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if stage:
                stages.append(nn.Sequential(ChannelNorm(widths[stage - 1]), nn.Conv2d(widths[stage - 1], width, 2, 2)))
            stages += [ConvNeXtBlock(width) for _ in range(depth)]
        self.stages, self.norm = nn.Sequential(*stages), nn.LayerNorm(widths[-1], eps=1e-6)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images):
        return self.head(self.norm(self.stages(images).mean((2, 3))))


class ConvNeXtBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand, self.reduce = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.reduce(functional.gelu(self.expand(y)))
        return x + y.permute(0, 3, 1, 2)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of images."""

    def __init__(self, width):
        super().__init__(width, eps=1e-6)

    def forward(self, images):
        return super().forward(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
