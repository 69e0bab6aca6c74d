"""Installs cgap-keras: the packages `cgap_keras` and `tflite_export`.

Ranges stand here, exact versions in `constraints.txt`; `make demo` and `make test` install with both.
"""

from setuptools import find_packages, setup

# A lower bound is the oldest release tried, not the oldest that might work.
INSTALL_REQUIRES = [
    # Edits in place reach parts of Keras that are not public: a minor release is tried before the range admits it.
    "keras>=3.15,<3.16",
    # TensorFlow 2.21 would do with 1.26; JAX 0.10 asks for 2.
    "numpy>=2.0,<3",
    # Flags of the examples and benchmarks. tensorflow-model-optimization admits nothing newer than 1.4.
    "absl-py>=1.4,<3",
]

# The exporter works around defects of the converter, which change by the release.
TENSORFLOW = ["tensorflow>=2.21,<2.22"]
JAX = ["jax>=0.10,<0.11"]  # Before 1.0 a minor release may break what it likes.
TORCH = ["torch>=2.13,<3"]
DIGITS = ["scikit-learn>=1.5,<2"]  # Ships the images of handwritten digits inside the package.
# The interpreter that takes the place of `tf.lite.Interpreter`, and the quantizer that goes with its release.
LITERT = ["ai-edge-litert>=2.3,<3", "litert-quantizer>=0.11,<0.12"]
REPORT = ["matplotlib>=3.9,<4"]

EXTRAS_REQUIRE = {
    "tensorflow": TENSORFLOW,
    "jax": JAX,
    "torch": TORCH,
    "data": [
        *DIGITS,
        *TENSORFLOW,  # tensorflow-datasets reads its records with TensorFlow, which it leaves to its users to install.
        "tensorflow-datasets>=4.9.10,<5",
        "importlib_resources>=6",  # tensorflow-datasets imports it and declares it for old Pythons alone.
    ],
    "export": [*TENSORFLOW, *LITERT],
    # Runs files as microcontrollers do. Its only releases are builds of a day.
    "micro": ["tflite-micro>=0.dev20261023"],
    # Importing it sets TF_USE_LEGACY_KERAS for the process, so it runs in a process of its own.
    "tfmot": [*TENSORFLOW, "tensorflow-model-optimization>=0.8.1,<0.9", "tf-keras>=2.21,<2.22"],
    "report": REPORT,
    # Keras's callback of that name needs it, and TensorFlow brings it no more.
    "tensorboard": ["tensorboard>=2.20,<3"],
    "test": ["pytest>=9,<10", "hypothesis>=6.100,<7", "ruff>=0.17,<0.18"],
    "demo": [*TENSORFLOW, *LITERT, *DIGITS, *REPORT],
}

setup(
    name="cgap-keras",
    version="0.1.0",
    description="Grow and prune Keras 3 models while they train, export them to TFLite, and estimate them on an FPGA.",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11,<3.14",  # Keras 3.15 and JAX 0.10 begin with 3.11; TensorFlow 2.21 ends with 3.13.
    # Stated so that an editable install puts the checkout itself on the path, where examples and benchmarks are found.
    package_dir={"": "."},
    packages=find_packages(include=["cgap_keras*", "tflite_export*"]),
    package_data={"cgap_keras.report": ["page.css", "page.html"]},
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
)
