"""What runs a network: unrolled and systolic arrays with their buffers, engines a layer, and published designs."""
