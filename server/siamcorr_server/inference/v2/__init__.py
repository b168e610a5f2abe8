"""Messages and services, generated from protos/siamcorr_server/inference/v2 by protos/generate.py."""
