"""Train, evaluate, register and gate a model: twice a week, and by hand from a form."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from orchestration.command import CommandOperator
from orchestration.defaults import DEFAULT_ARGS, GPU_POOL, UNTIL, Tag, at, documentation, moment, pick, training_folder
from recloop import commands
from recloop.settings import DEVICE_CHOICES, FUSION_CHOICES, RANKER_CHOICES

TRAINING_SET, BUNDLE = training_folder("set"), training_folder("bundle")

with DAG(
    dag_id="train_model",
    description="Point-in-time join → three model families → bundle → registry → gate",
    schedule=at("0 3 * * 1,4"),  # Monday and Thursday
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    tags=[Tag.MODELS],
    params={
        "until": moment("Until", "Train on what came before; empty: the moment of the run."),
        "epochs": Param(0, type="integer", minimum=0, title="Epochs", description="Of the transformer; 0: as set."),
        "device": pick("Device", list(DEVICE_CHOICES), "auto: the setting's."),
        "ranker": pick("Ranker", ["as set", *RANKER_CHOICES], "auto: as the heads need it."),
        "fusion": pick("Fusion", ["as set", *FUSION_CHOICES], "Where the ranker's transformer meets the candidate."),
        "warm_start": Param(False, type="boolean", title="Warm start", description="From the champion's transformer."),
        "promote": Param(True, type="boolean", title="Promote", description="Hold the gate, then move `champion`."),
    },
    doc_md=documentation(
        purpose="Trains on everything before `until`, evaluates on later time than it trained on, holds the gate.",
        red="`promote` is red when the gate refuses: the champion stays, and the message has both numbers.",
    ),
):
    build_training_set = CommandOperator(
        task_id="build_training_set", argv=commands.build_training_set(until=UNTIL, out=TRAINING_SET)
    )
    train = CommandOperator(
        task_id="train",
        argv=commands.train_model(
            training_set=TRAINING_SET, out=BUNDLE,
            epochs="{{ params.epochs or '' }}",
            device="{{ params.device | replace('auto', '') }}",
            ranker="{{ params.ranker | replace('as set', '') }}",
            fusion="{{ params.fusion | replace('as set', '') }}",
            warm_start="{{ 'champion' if params.warm_start else '' }}",
        ),
        pool=GPU_POOL,
    )  # fmt: skip
    register = CommandOperator(
        task_id="register", argv=commands.register_model(bundle=BUNDLE, training_set=TRAINING_SET)
    )
    promote = CommandOperator(
        task_id="promote",
        argv=commands.promote(version="{{ ti.xcom_pull(task_ids='register')['version'] }}"),
        only_if="{{ params.promote }}",
        retries=0,  # the same numbers are refused again
    )
    build_training_set >> train >> register >> promote
