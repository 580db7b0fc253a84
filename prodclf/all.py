"""Everything a notebook wants, in one import: `from prodclf.all import *` (written by hand; the only module that is)"""

from pathlib import Path

import numpy as np, pandas as pd

from prodclf.core import *
from prodclf.data.images import *
from prodclf.data.catalog import *
from prodclf.data.splits import *
from prodclf.sample.shop import *
from prodclf.evaluate.metrics import *
from prodclf.evaluate.errors import *
from prodclf.models.lexical import *
from prodclf.train.baselines import *
from prodclf.encoders.text import *
from prodclf.encoders.image import *
from prodclf.encoders.features import *
from prodclf.models.dataloaders import *
from prodclf.models.fusion import *
from prodclf.models.learner import *
from prodclf.models.distributed import Distributed
from prodclf.models.linear import *
from prodclf.models.blending import *
from prodclf.models.ensemble import *
from prodclf.evaluate.calibration import *
from prodclf.evaluate.plots import *
from prodclf.encoders.descriptors import *
from prodclf.active.feature_space import *
from prodclf.active.curves import *
from prodclf.active.uncertainty import *
from prodclf.active.diversity import *
from prodclf.active.badge import *
from prodclf.active.pool import *
from prodclf.active.query import *
from prodclf.active.oracle import *
from prodclf.active.loop import *
from prodclf.active.card import *
from prodclf.models.predictor import *
from prodclf.train.training import *
from prodclf.evaluate.report import *
from prodclf.data.dataset import Shards, is_prepared
from prodclf.data.prepare import Rules, prepare
from prodclf.sample.generated import write_generated
from prodclf.encoders.embeddings import ShardFeatures, embed
from prodclf.models.loader import StreamFeatures
from prodclf.models.streams import StreamProducts, shard_dataloaders
from prodclf.models.streaming import stream_head
