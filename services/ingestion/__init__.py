"""IngestionService: streams, appending to them, reading them, and what was refused."""

from services.ingestion.config import IngestionConfig
from services.ingestion.service import Ingestion

__all__ = ["Ingestion", "IngestionConfig"]
