"""The engine in this process: the store and the models in threads, jobs handed to a trainer."""

from services.local.engine import LocalEngine as LocalEngine
