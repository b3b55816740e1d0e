/* The verbs of gantry, a row each. */
#include "services/cli/cli.h"

// clang-format off
const struct cli_verb cli_verbs[] = {
    { "up", ON_UP, "", "start a whole system here, with a Redis of its own",
      "Runs redis-server, gantry-broker, gantry-state, workers and gantry-front (HTTP) as children in the\n"
      "foreground, until Ctrl-C or SIGTERM. Data, sockets and logs lie in the data folder; what was accepted is\n"
      "there again at the next start. Prints a line READY once tasks can be submitted.\n"
      "\n"
      "examples:\n"
      "  gantry up                                  data in ./gantry-data, inputs from the current folder\n"
      "  gantry up --data /srv/gantry --input-root /videos --slots 4\n"
      "  gantry up --set lease_ms=5000 --set log.level=debug\n"
      "  gantry up --http 127.0.0.1:8080            HTTP on another port; --http off: none\n"
      "  gantry up --fused                          one process less between a task and Redis\n",
      0, 0, cli_up },
    { "submit", ON_SUBMIT, "TASK [KEY=VALUE...]", "hand in a task",
      "TASK is a node of `gantry nodes`. A VALUE that reads as a JSON number, true, false, null, list or map is\n"
      "one, all else is text; inputs that the node declares as text or path are always text, and the relative\n"
      "path of an existing file is made absolute for them. Prints the task's id, or with --wait its record.\n"
      "A VALUE of ${{ stages.NODE.output.FIELD }} is that output of another stage of the task.\n"
      "\n"
      "examples:\n"
      "  gantry submit ffmpeg.extract_audio video_path=talk.mp4 --wait\n"
      "  id=$(gantry submit ffmpeg.extract_keyframes video_path=talk.mp4 keyframe_sample_count=20)\n"
      "  gantry submit ffmpeg.extract_audio video_path=talk.mp4 --id $id      a second stage of the same task\n"
      "  gantry submit system.echo --input '{\"value\": \"hello\"}' --priority high --json\n"
      "  gantry submit ffmpeg.extract_audio video_path=talk.mp4 --delay 2h --failures 3 --retry 1m\n"
      "  gantry submit ffmpeg.extract_audio video_path=talk.mp4 --id $id --force --callback https://me.example/done\n",
      1, -1, cli_submit },
    { "create", ON_CREATE, "FILE", "make a task of a video, which is moved away",
      "What CreateTask of the task service does: the file goes to videos/ID/original.mp4 beneath storage.local, and\n"
      "the task waits for a worker of the service video, or for an outside processor that takes its id from Redis'\n"
      "list task:pending. FILE lies in storage.local or a folder of storage.input_roots (`gantry up --input-root`).\n"
      "Prints the task's id, or with --wait its record.\n"
      "\n"
      "examples:\n"
      "  gantry create upload.mp4 --wait\n"
      "  id=$(gantry create /uploads/tmp-4711.mp4) && gantry show $id\n"
      "  gantry create upload.mp4 --json | jq -r .task_id\n",
      1, 1, cli_create },
    { "show", ON_SHOW, "ID", "the record of a task",
      "examples:\n"
      "  gantry show 4f1c8a52-6c0e-4b4e-9a55-0d2f3f1c7a10\n"
      "  gantry show $id --json | jq -r '.stages[\"ffmpeg.extract_audio\"].output.audio_path'\n"
      "  gantry show $id --follow                             what happens to it, until it has ended\n",
      1, 1, cli_show },
    { "wait", ON_WAIT, "ID [STAGE...]", "wait until stages of a task have ended, and show the record",
      "Without STAGE: every stage of the task. Shows progress on a terminal.\n"
      "\n"
      "examples:\n"
      "  gantry wait $id\n"
      "  gantry wait $id ffmpeg.extract_audio --timeout 5m && echo done\n",
      1, -1, cli_wait },
    { "list", ON_LIST, "", "stages by state, newest first",
      "examples:\n"
      "  gantry list --state running\n"
      "  gantry list --state failed --service ffmpeg --since 2h --limit 20 --json\n",
      0, 0, cli_list },
    { "why", ON_WHY, "ID [STAGE]", "why a stage is not running",
      "Names the reason, its place in the queue with an estimate, and what can be done.\n"
      "\n"
      "examples:\n"
      "  gantry why $id\n"
      "  gantry why $id ffmpeg.extract_audio --json | jq -r '.[].reason'\n",
      1, 2, cli_why },
    { "cancel", ON_CANCEL, "[ID [STAGE]]", "stop a stage, a task, or all that a filter finds",
      "A waiting stage is cancelled at once, a running one as soon as its worker has stopped it.\n"
      "\n"
      "examples:\n"
      "  gantry cancel $id\n"
      "  gantry cancel $id ffmpeg.extract_keyframes\n"
      "  gantry cancel --state pending --service ffmpeg --until 1h --dry-run\n",
      0, 2, cli_cancel },
    { "delete", ON_DELETE, "ID", "remove a task: its record, its folder and its objects",
      "Shows what became of each of its parts. What has been removed before is skipped. Exit code 1 when a part\n"
      "could not be removed, 3 when a stage has not ended and --force is not given.\n"
      "\n"
      "examples:\n"
      "  gantry delete $id\n"
      "  gantry delete $id --force --json | jq -r '.results[] | .resource + \" \" + .status'\n",
      1, 1, cli_delete },
    { "dead", ON_DEAD, "ls|show|replay|purge [ID [STAGE]]", "dead letters: what failed for good or was quarantined",
      "ls lists them, show tells all attempts of one, replay runs them again, purge forgets them (the record stays).\n"
      "Without ID replay and purge are for all that the filters find.\n"
      "\n"
      "examples:\n"
      "  gantry dead ls --since 24h\n"
      "  gantry dead replay --task ffmpeg.extract_audio --dry-run\n"
      "  gantry dead replay $id\n"
      "  gantry dead purge --until 720h\n",
      0, 3, cli_dead },
    { "events", ON_EVENTS, "[ID]", "what happens, numbered",
      "Every transition of every stage has a number. Shows the latest, and with --follow goes on.\n"
      "\n"
      "examples:\n"
      "  gantry events --follow\n"
      "  gantry events $id --follow\n"
      "  gantry events --after 1200 --service ffmpeg --json\n",
      0, 1, cli_events },
    { "cron", ON_CRON, "[ls | set NAME SCHEDULE TASK [KEY=VALUE...] | rm NAME]", "tasks that are handed in again and again",
      "SCHEDULE has the five fields of cron (minute hour day-of-month month day-of-week), or is @hourly, @daily,\n"
      "@weekly, @monthly or @yearly. Each slot fires once, however many brokers live; after an outage the latest\n"
      "one that was missed. Its task is NAME-20260131T030000Z.\n"
      "\n"
      "examples:\n"
      "  gantry cron set nightly \"0 3 * * *\" ffmpeg.extract_audio video_path=/in/news.mp4 --zone Asia/Shanghai\n"
      "  gantry cron ls\n"
      "  gantry cron rm nightly\n",
      0, -1, cli_cron },
    { "pause", ON_PAUSE, "SERVICE", "hand out nothing more of a service",
      "What runs goes on. `gantry resume SERVICE` ends it.\n"
      "\n"
      "examples:\n  gantry pause ffmpeg\n",
      1, 1, cli_pause },
    { "resume", ON_PAUSE, "SERVICE", "hand out its tasks again",
      "examples:\n  gantry resume ffmpeg\n",
      1, 1, cli_resume },
    { "drain", ON_DRAIN, "[WORKER]", "let a worker or a broker come to rest",
      "A worker (its name in `gantry workers`) claims nothing more and finishes what runs; it stays connected. A\n"
      "broker, named by its status endpoint, sends its clients and workers to the others of their lists.\n"
      "\n"
      "examples:\n"
      "  gantry drain gpu-3\n"
      "  gantry drain --status tcp://10.0.0.7:7473\n",
      0, 1, cli_drain },
    { "undrain", ON_DRAIN, "[WORKER]", "take a drain back",
      "examples:\n  gantry undrain gpu-3\n",
      0, 1, cli_undrain },
    { "ledger", ON_LEDGER, "", "what was accepted, and where all of it is now",
      "Exact at any moment: accepted is the sum of the indented lines. Exit code 1 when it is not.\n"
      "\n"
      "examples:\n  gantry ledger\n  gantry ledger --json | jq .balanced\n",
      0, 0, cli_ledger },
    { "audit", ON_AUDIT, "", "look now for stages that nothing holds, or two things",
      "An audit runs every minute anyway; this begins one and waits for it. What it finds it repairs.\n"
      "\n"
      "examples:\n  gantry audit\n",
      0, 0, cli_audit },
    { "disk", ON_DISK, "", "free space, and what tasks and users have on the disk",
      "Below the low mark (storage.low_bytes) tasks that need space are refused, until storage.high_bytes are free\n"
      "again. Shows the largest tasks and users. Exit code 0 also while they are refused.\n"
      "\n"
      "examples:\n"
      "  gantry disk --limit 5\n"
      "  gantry disk --json | jq '.refusing, .free_bytes'\n"
      "  gantry disk --measure --json | jq -r '.tasks[] | select(.bytes > 1e9) | .id'\n",
      0, 0, cli_disk },
    { "status", ON_STATUS, "", "figures of the broker",
      "examples:\n  gantry status\n  gantry status --json | jq .counters\n",
      0, 0, cli_status },
    { "workers", ON_WORKERS, "", "workers that are connected",
      "examples:\n  gantry workers\n",
      0, 0, cli_workers },
    { "queues", ON_QUEUES, "", "queues, what waits in them and what runs",
      "examples:\n  gantry queues\n",
      0, 0, cli_queues },
    { "nodes", ON_NODES, "[TASK]", "what can be submitted, with its inputs",
      "examples:\n  gantry nodes\n  gantry nodes ffmpeg.extract_audio\n",
      0, 1, cli_nodes },
    { "migrate", ON_MIGRATE, "single_tasks", "move an older system's folders of tasks to where ours are",
      "Works on local disks and needs no system that is up. Moves each DIR/ID to storage.root/ID, file by file and\n"
      "verified by SHA-256; what is there already stays: the same file is skipped, another one is a conflict that\n"
      "is told and left alone, as are links and names that are no task's. It can be said again, also after a kill,\n"
      "and back again with --back. Exit code 1 when something is in conflict or failed.\n"
      "\n"
      "examples:\n"
      "  gantry migrate single_tasks --from /share/single_tasks --to /share/workflows --dry-run\n"
      "  gantry migrate single_tasks                           storage.legacy to storage.root\n"
      "  gantry migrate single_tasks --json | jq '.notes[] | select(.what == \"conflict\")'\n"
      "  gantry migrate single_tasks --back\n",
      1, 1, cli_migrate },
    { "help", ON_HELP, "[VERB]", "this overview, or all about a verb",
      "examples:\n  gantry help submit\n",
      0, 1, cli_help },
    { 0 }
};
// clang-format on
