"""The names a notebook wants: `from prodclf.all import *` (the only module written by hand)"""

from pathlib import Path

import numpy as np
import pandas as pd

from prodclf.active.card import LabelCard
from prodclf.active.loop import ActiveLoop, compare_strategies
from prodclf.active.oracle import Replay
from prodclf.active.pool import Pool
from prodclf.active.query import list_strategies, register_strategy
from prodclf.core import ProdclfError
from prodclf.data.catalog import read_catalog
from prodclf.data.dataset import ProductDataset
from prodclf.data.prepare import open_products, prepare
from prodclf.data.splits import split, split_rows
from prodclf.encoders.descriptors import register_encoder
from prodclf.encoders.embeddings import embed
from prodclf.encoders.image import image_encoder
from prodclf.encoders.registry import list_encoders
from prodclf.encoders.text import text_encoder
from prodclf.evaluate.metrics import accuracy, compare_paired, macro_f1, scores
from prodclf.evaluate.plots import (
    plot_confusion,
    plot_learning_curve,
    plot_reliability,
    plot_results,
    plot_samples,
)
from prodclf.evaluate.report import write_report
from prodclf.models.dataloaders import product_dataloaders
from prodclf.models.evaluation import evaluate_model
from prodclf.models.fusion import fusion_head, list_fusions, register_fusion
from prodclf.models.learner import product_learner
from prodclf.models.predictor import Predictor, load_model
from prodclf.sample.shop import sample_catalog
from prodclf.train.baselines import fit_baselines
from prodclf.train.classifier import train_classifier
from prodclf.train.config import TrainConfig
from prodclf.train.estimator import MultimodalClassifier

__all__ = [
    'LabelCard',
    'MultimodalClassifier',
    'Path',
    'Pool',
    'Predictor',
    'ProdclfError',
    'ProductDataset',
    'Replay',
    'TrainConfig',
    'accuracy',
    'ActiveLoop',
    'compare_paired',
    'compare_strategies',
    'embed',
    'evaluate_model',
    'fit_baselines',
    'fusion_head',
    'image_encoder',
    'list_encoders',
    'list_fusions',
    'list_strategies',
    'load_model',
    'macro_f1',
    'np',
    'open_products',
    'pd',
    'plot_confusion',
    'plot_learning_curve',
    'plot_reliability',
    'plot_results',
    'plot_samples',
    'prepare',
    'product_dataloaders',
    'product_learner',
    'read_catalog',
    'register_encoder',
    'register_fusion',
    'register_strategy',
    'sample_catalog',
    'scores',
    'split',
    'split_rows',
    'text_encoder',
    'train_classifier',
    'write_report',
]
