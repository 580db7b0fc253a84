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
from prodclf.linear import *
from prodclf.blending import *
from prodclf.stacking import *
from prodclf.calibration import *
from prodclf.plots import *
from prodclf.export import *
from prodclf.training import *
from prodclf.report import *
