"""A network as the loop nests that an accelerator runs, from a Keras model or a .tflite file."""
