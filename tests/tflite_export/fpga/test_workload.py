"""Loop nests read from Keras models."""

import keras
import pytest
from keras import layers

import cgap_keras
from cgap_keras import zoo
from tflite_export import fpga


def model_of(*stack, shape=(8, 8, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


def test_loops_of_a_convolution():
    (row,) = fpga.workload(
        model_of(layers.Conv2D(6, (3, 5), strides=(2, 1), padding="same", name="c"), shape=(9, 8, 4))
    )
    loops = (row.n_kx, row.n_ky, row.n_if, row.n_ox, row.n_oy, row.n_of, row.n_ix, row.n_iy)
    assert loops == (5, 3, 4, 8, 5, 6, 8, 9)
    assert (row.stride, row.padding, row.groups) == ((1, 2), ((2, 2), (1, 1)), 1)
    assert (row.macs, row.weights, row.biases) == (5 * 3 * 4 * 8 * 5 * 6, 5 * 3 * 4 * 6, 6)
    assert (row.input_elements, row.output_elements) == (9 * 8 * 4, 8 * 5 * 6)


def test_normalisation_and_activation_join_the_convolution():
    model = model_of(
        layers.Conv2D(4, 3, use_bias=False, name="c"), layers.BatchNormalization(name="n"), layers.ReLU(name="r")
    )
    (row,) = fpga.workload(model)
    # The normalisation leaves a bias behind.
    assert (row.kind, row.fused, row.biases) == ("conv", ("n", "r"), 4)


def test_a_tensor_that_is_read_twice_is_not_fused():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="c")(inputs)
    y = layers.ReLU(name="r")(layers.BatchNormalization(name="n")(x))
    rows = fpga.workload(keras.Model(inputs, layers.Add(name="a")([x, y])))
    assert [(row.name, row.kind, row.fused) for row in rows] == [
        ("c", "conv", ()),
        ("n", "elementwise", ("r",)),
        ("a", "elementwise", ()),
    ]
    # The normalisation reads 6 * 6 * 4 pixels and a scale and a shift for each map; the addition reads two maps.
    assert (rows[1].input_elements, rows[1].biases) == (144, 8)
    assert (rows[2].input_elements, rows[2].output_elements, rows[2].operands) == (288, 144, 2)


def test_a_product_with_one_factor_a_channel():
    inputs = keras.Input((8, 8, 4))
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="g")(inputs)
    rows = fpga.workload(keras.Model(inputs, layers.Multiply(name="m")([inputs, gate])))
    assert (rows[0].kind, rows[0].n_kx, rows[0].n_ky, rows[0].n_of) == ("pool", 8, 8, 4)
    assert (rows[1].input_elements, rows[1].output_elements) == (256 + 4, 256)


def test_zero_padding_belongs_to_the_window_that_reads_it():
    rows = fpga.workload(model_of(layers.ZeroPadding2D(((1, 0), (2, 3))), layers.Conv2D(4, 3, name="c")))
    assert [(row.name, row.padding, row.n_ix, row.n_iy) for row in rows] == [("c", ((2, 3), (1, 0)), 8, 8)]


def test_zero_padding_that_no_window_reads_is_written_out():
    inputs = keras.Input((8, 8, 3))
    outputs = layers.Add(name="a")([layers.ZeroPadding2D(1)(inputs), layers.ZeroPadding2D(1)(inputs)])
    rows = fpga.workload(keras.Model(inputs, outputs))
    assert [(row.kind, row.input_elements, row.output_elements) for row in rows] == [
        ("upsample", 192, 300),
        ("upsample", 192, 300),
        ("elementwise", 600, 300),
    ]


def test_shapes_and_dropout_are_free_and_softmax_is_the_hosts():
    stack = (
        layers.MaxPooling2D(2, name="p"),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax", name="d"),
    )
    rows = fpga.workload(model_of(layers.Rescaling(1 / 255, name="s"), *stack))
    assert [(row.name, row.kind) for row in rows] == [
        ("s", "host"),
        ("p", "pool"),
        ("d", "fully_connected"),
        ("d/softmax", "host"),
    ]
    assert (rows[2].n_if, rows[2].n_of) == (48, 10)
    estimate = fpga.estimate(rows, "dpu_b512_zcu102")
    assert estimate.host_operations == ("s", "d/softmax")
    assert [row.latency_us for row in estimate.layers if row.kind == "host"] == [0.0, 0.0]


def test_operations_that_do_not_run_are_all_named():
    stack = (
        layers.Reshape((8, 24)),
        layers.LSTM(4, return_sequences=True, name="memory"),
        layers.LayerNormalization(name="norm"),
    )
    with pytest.raises(ValueError, match=r"'memory' \(LSTM\); 'norm' \(LayerNormalization\).*Received: model="):
        fpga.workload(model_of(*stack))


def test_a_softmax_in_the_middle_is_refused():
    with pytest.raises(ValueError, match=r"'d' \(Dense: it reads what a softmax on the host computes\)"):
        fpga.workload(model_of(layers.Flatten(), layers.Softmax(), layers.Dense(4, name="d")))


def test_an_unknown_activation_is_refused():
    def sorted_features(x):
        return keras.ops.sort(x)

    with pytest.raises(ValueError, match=r"'c' \(Conv2D: its activation sorted_features is not known"):
        fpga.workload(model_of(layers.Conv2D(4, 3, activation=sorted_features, name="c")))


def test_a_subclass_that_computes_something_else_is_refused():
    class Scaled(layers.Conv2D):
        def call(self, inputs):
            return 2 * super().call(inputs)

    with pytest.raises(ValueError, match=r"'c' \(Scaled\)"):
        fpga.workload(model_of(Scaled(4, 3, name="c")))


def test_unknown_sizes_are_refused():
    with pytest.raises(ValueError, match="every size but the batch"):
        fpga.workload(model_of(layers.Conv2D(4, 3), shape=(None, None, 3)))


@pytest.mark.parametrize(
    "stack, shape",
    [
        ((layers.SeparableConv2D(6, 3, depth_multiplier=2),), (8, 8, 3)),
        ((layers.DepthwiseConv2D(3, depth_multiplier=3),), (8, 8, 4)),
        ((layers.Conv2D(8, 3, groups=2, dilation_rate=2),), (9, 9, 4)),
        ((layers.Conv1D(6, 5, strides=2, padding="causal"), layers.MaxPooling1D(2)), (32, 3)),
        ((layers.Dense(7), layers.GlobalMaxPooling1D()), (12, 5)),
        ((layers.Conv2D(4, 3), layers.UpSampling2D(2), layers.Conv2D(2, 1)), (8, 8, 3)),
    ],
)
def test_macs_equal_the_models_cost(stack, shape):
    model = model_of(*stack, shape=shape)
    assert sum(row.macs for row in fpga.workload(model)) == cgap_keras.cost(model).macs > 0


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "mobilenet", "vgg11"])
def test_macs_of_the_zoo_equal_its_cost(name):
    model = zoo.get(name)(width=zoo.SEED_WIDTH)
    assert sum(row.macs for row in fpga.workload(model)) == cgap_keras.cost(model).macs


def test_residual_networks_have_a_row_a_convolution_and_an_addition():
    rows = fpga.workload(zoo.get("resnet20")())
    kinds = [row.kind for row in rows]
    # 19 convolutions and two or no projections, 9 additions, a pooling, a dense layer.
    assert kinds.count("elementwise") == 9
    assert (kinds.count("pool"), kinds.count("fully_connected")) == (1, 1)
    assert all(row.fused for row in rows if row.kind == "elementwise")
