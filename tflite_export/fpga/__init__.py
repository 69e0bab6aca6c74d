"""Latency, memory traffic, energy and resources of a network on an FPGA accelerator, before any synthesis."""

from tflite_export.fpga.accelerators.accelerator import Accelerator
from tflite_export.fpga.accelerators.dataflow import Dataflow, fold
from tflite_export.fpga.accelerators.per_layer import LayerEstimate, layer_estimate
from tflite_export.fpga.accelerators.presets import ACCELERATORS, accelerator
from tflite_export.fpga.accelerators.systolic import Systolic
from tflite_export.fpga.accelerators.unroll import Unroll
from tflite_export.fpga.currencies import device_share, dram_energy_mj, latency_ms
from tflite_export.fpga.design.exploration import Design, Exploration
from tflite_export.fpga.design.explore import explore
from tflite_export.fpga.devices import DEVICES, Device, device
from tflite_export.fpga.energy import MEMORIES, Memory
from tflite_export.fpga.estimate import Estimate, estimate
from tflite_export.fpga.loops.layer import Layer
from tflite_export.fpga.loops.workload import workload
from tflite_export.fpga.plots.layer_chart import layer_chart
from tflite_export.fpga.plots.roofline import roofline
from tflite_export.fpga.resources import Resources, resources

__all__ = [
    "ACCELERATORS",
    "DEVICES",
    "MEMORIES",
    "Accelerator",
    "Dataflow",
    "Design",
    "Device",
    "Estimate",
    "Exploration",
    "Layer",
    "LayerEstimate",
    "Memory",
    "Resources",
    "Systolic",
    "Unroll",
    "accelerator",
    "device",
    "device_share",
    "dram_energy_mj",
    "estimate",
    "explore",
    "fold",
    "latency_ms",
    "layer_chart",
    "layer_estimate",
    "resources",
    "roofline",
    "workload",
]
