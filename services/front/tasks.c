#include "services/front/tasks.h"

#include "services/front/route.h"

const struct route routes_tasks[] = {
    {
        .method = "POST",
        .path = "/v1/tasks",
        .summary = "run a node in a task, or tell what it gave before",
        .handle = tasks_post,
        .body = "TaskSubmit",
        .answer = "TaskAccepted",
        .answers = { 400, 413, 429, 503 },
    },
    {
        .method = "GET",
        .path = "/v1/tasks/supported-tasks",
        .summary = "every node there is",
        .handle = tasks_supported,
        .answer = "SupportedTasks",
        .answers = { 503 },
    },
    {
        .method = "GET",
        .path = "/v1/tasks/health",
        .summary = "whether tasks are taken, and how many wait and run",
        .handle = tasks_health,
        .answer = "TasksHealth",
        .answers = { 503 },
    },
    {
        .method = "GET",
        .path = "/v1/tasks/{id}/status",
        .summary = "how far a task is",
        .handle = tasks_status,
        .answer = "TaskStatus",
        .answers = { 404, 503 },
    },
    {
        .method = "GET",
        .path = "/v1/tasks/{id}/result",
        .summary = "all stages of a task; input_params are those of task_name, or of the newest",
        .handle = tasks_result,
        .answer = "Context",
        .answers = { 404, 503 },
        .queries = { "task_name" },
    },
    {
        .method = "GET",
        .path = "/v1/tasks/{id}/events",
        .summary =
            "what happens to a task, as it happens: snapshot, update, progress, end; goes on "
            "after Last-Event-ID or since",
        .handle = tasks_events,
        .answers = { 400, 404, 503 },
        .queries = { "since" },
    },
    {
        .method = "POST",
        .path = "/v1/tasks/{id}/retry",
        .summary = "run a stage of a task that has ended once more, as a task of its own",
        .handle = tasks_retry,
        .body = "TaskRetry",
        .answer = "TaskRetried",
        .answers = { 400, 404, 413, 429, 503 },
    },
    {
        .method = "DELETE",
        .path = "/v1/tasks/{id}",
        .summary = "stop a task, or one stage of it",
        .handle = tasks_cancel,
        .answer = "TaskCancelled",
        .answers = { 400, 404, 503 },
        .queries = { "task_name" },
    },
    {
        .method = "POST",
        .path = "/v1/tasks/{id}/delete",
        .summary = "remove a task with all its files",
        .handle = tasks_delete,
        .body = "TaskDelete",
        .answer = "TaskDeleted",
        .answers = { 400, 404, 503 },
    },
    { 0 },
};
