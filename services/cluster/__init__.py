"""Training on Ray.

    server (trainer) ──lines of JSON──▶ driver ──Ray Train──▶ workers (performing) ──▶ the catalogue

The driver is a process of its own, started with the first job: Ray's settings and threads stay out
of the server, and when the server ends, however it ends, the driver's input ends and it takes Ray
down. What a job reports goes straight into the catalogue, so nothing is lost between the processes.
"""

from services.cluster.config import ClusterConfig as ClusterConfig
from services.cluster.trainer import RayTrainer as RayTrainer
