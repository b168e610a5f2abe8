"""The Open Inference Protocol (KServe v2): the same engine for clients that speak it already."""
