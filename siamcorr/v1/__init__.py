"""Messages and services, generated from protos/siamcorr/v1 by protos/generate.py."""
