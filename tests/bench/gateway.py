"""The gateways that people come from: POST /v1/tasks in Flask and in FastAPI, before Celery and Redis.

Each checks the request, writes the task's state to Redis, sends one Celery task and answers; the Celery worker does
nothing with it and stores the result. Loaded by gunicorn, uvicorn and celery themselves: GATEWAY_REDIS is the path of
Redis' socket, GATEWAY_KIND is flask, fastapi or none (the worker)."""
import os
import time
import uuid

import redis
from celery import Celery

NODES = {"system.echo"}
DAY_S = 86400
SOCKET, KIND = os.environ["GATEWAY_REDIS"], os.environ["GATEWAY_KIND"]

celery = Celery("gateway", broker=f"redis+socket://{SOCKET}", backend=f"redis+socket://{SOCKET}")
celery.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"], task_acks_late=True,
                   worker_prefetch_multiplier=128, worker_send_task_events=False, task_send_sent_event=False,
                   worker_disable_rate_limits=True, worker_hijack_root_logger=False, broker_pool_limit=64)
db = redis.Redis(unix_socket_path=SOCKET)


@celery.task(name="system.echo")
def echo(value):
    return {"value": ""}


def refusal(name, given):
    """What is wrong with a request, or None."""
    if not name:
        return "task_name must not be empty"
    if name not in NODES:
        return f"unknown task_name: {name}"
    if not isinstance(given.get("value"), str):
        return "input_data.value must be a text"
    return None


def create(name, task_id, given):
    """The task's record, then the task; the answer."""
    task_id, now = task_id or str(uuid.uuid4()), time.time()
    with db.pipeline(transaction=False) as pipe:
        pipe.hset(f"task:{task_id}", mapping={"task_name": name, "status": "pending", "created_at": now, "updated_at": now})
        pipe.expire(f"task:{task_id}", 7 * DAY_S)
        pipe.execute()
    echo.apply_async((given["value"],), task_id=task_id)
    return {"task_id": task_id, "status": "pending", "message": "created", "reuse_info": {"reuse_hit": False, "task_name": name}}


if KIND == "flask":
    from flask import Flask, jsonify, request

    flask = Flask("gateway")

    @flask.post("/v1/tasks")
    def post():
        body = request.get_json(silent=True)
        if not isinstance(body, dict) or not isinstance(body.get("input_data"), dict):
            return jsonify(detail="the body is not of a task"), 400
        wrong = refusal(body.get("task_name"), body["input_data"])
        if wrong:
            return jsonify(detail=wrong), 400
        return jsonify(create(body["task_name"], body.get("task_id"), body["input_data"]))

if KIND == "fastapi":
    from typing import Any, Dict, Optional

    from fastapi import FastAPI, HTTPException
    from pydantic import BaseModel

    class Task(BaseModel):
        task_name: str
        task_id: Optional[str] = None
        callback: Optional[str] = None
        input_data: Dict[str, Any]

    class Receipt(BaseModel):
        task_id: str
        status: str
        message: str
        reuse_info: Dict[str, Any]

    fastapi = FastAPI()

    @fastapi.post("/v1/tasks", response_model=Receipt)
    async def post(task: Task):
        wrong = refusal(task.task_name, task.input_data)
        if wrong:
            raise HTTPException(status_code=400, detail=wrong)
        return create(task.task_name, task.task_id, task.input_data)
