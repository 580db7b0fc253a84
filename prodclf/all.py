"""Everything a notebook wants, in one import: `from prodclf.all import *` (written by hand; the only module that is)"""

from pathlib import Path

import numpy as np, pandas as pd

from prodclf.core import *
from prodclf.pictures import *
from prodclf.catalog import *
from prodclf.splits import *
from prodclf.sample import *
from prodclf.metrics import *
from prodclf.errors import *
from prodclf.lexical import *
from prodclf.baselines import *
from prodclf.text import *
from prodclf.image import *
from prodclf.features import *
from prodclf.blocks import *
from prodclf.fusion import *
from prodclf.learner import *
from prodclf.distributed import Distributed
from prodclf.linear import *
from prodclf.blending import *
from prodclf.stacking import *
from prodclf.calibration import *
from prodclf.plots import *
from prodclf.descriptors import *
from prodclf.space import *
from prodclf.curves import *
from prodclf.uncertainty import *
from prodclf.spread import *
from prodclf.badge import *
from prodclf.pool import *
from prodclf.query import *
from prodclf.oracle import *
from prodclf.active import *
from prodclf.card import *
from prodclf.export import *
from prodclf.training import *
from prodclf.report import *
from prodclf.shards import Shards, is_prepared
from prodclf.prepare import Rules, prepare
from prodclf.generated import write_generated
from prodclf.embedding import ShardFeatures, embed
from prodclf.loader import StreamFeatures
from prodclf.streams import StreamProducts, shard_dataloaders
from prodclf.streaming import stream_head
