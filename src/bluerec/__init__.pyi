from bluerec.profiling.profiler import Profiler as Profiler
from bluerec.store.recommender import Recommender as Recommender

__version__: str
__all__ = ["Profiler", "Recommender", "__version__"]
