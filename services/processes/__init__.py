"""Several server processes on one port, one store and one word to the outside.

    supervisor ──starts, tells when all serve, ends──▶ process 1, 2, … (serving)
        │                                                 │ each a whole server, on the same port
        └──holds the port──────────────────────────────▶ the kernel gives each connection to one

One process of Python computes on little more than one core; several use several. What only one may
do, such as handing out jobs, is decided in the store (`services.local.leading`), not here.
"""

from services.processes.supervisor import supervise as supervise
