/* The verbs of gantry, a row each. */
#include "services/cli/cli.h"

// clang-format off
const struct cli_verb cli_verbs[] = {
    { "up", ON_UP, "", "start a whole system here, with a Redis of its own",
      "Runs redis-server, gantry-broker, gantry-state and gantry-worker as children in the foreground, until\n"
      "Ctrl-C or SIGTERM. Data, sockets and logs lie in the data folder; what was accepted is there again at\n"
      "the next start. Prints a line READY once tasks can be submitted.\n"
      "\n"
      "examples:\n"
      "  gantry up                                  data in ./gantry-data, inputs from the current folder\n"
      "  gantry up --data /srv/gantry --input-root /videos --slots 4\n"
      "  gantry up --set lease_ms=5000 --set log.level=debug\n",
      0, 0, cli_up },
    { "submit", ON_SUBMIT, "TASK [KEY=VALUE...]", "hand in a task",
      "TASK is a node of `gantry nodes`. A VALUE that reads as a JSON number, true, false, null, list or map is\n"
      "one, all else is text; inputs that the node declares as text or path are always text, and the relative\n"
      "path of an existing file is made absolute for them. Prints the task's id, or with --wait its record.\n"
      "\n"
      "examples:\n"
      "  gantry submit ffmpeg.extract_audio video_path=talk.mp4 --wait\n"
      "  id=$(gantry submit ffmpeg.extract_keyframes video_path=talk.mp4 keyframe_sample_count=20)\n"
      "  gantry submit ffmpeg.extract_audio video_path=talk.mp4 --id $id      a second stage of the same task\n"
      "  gantry submit system.echo --input '{\"value\": \"hello\"}' --priority high --json\n",
      1, -1, cli_submit },
    { "show", ON_SHOW, "ID", "the record of a task",
      "examples:\n"
      "  gantry show 4f1c8a52-6c0e-4b4e-9a55-0d2f3f1c7a10\n"
      "  gantry show $id --json | jq -r '.stages[\"ffmpeg.extract_audio\"].output.audio_path'\n",
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
      "  gantry list --state failed --service ffmpeg --limit 20 --json\n",
      0, 0, cli_list },
    { "cancel", ON_CANCEL, "ID [STAGE]", "stop a stage, or every stage of a task",
      "A waiting stage is cancelled at once, a running one as soon as its worker has stopped it.\n"
      "\n"
      "examples:\n"
      "  gantry cancel $id\n"
      "  gantry cancel $id ffmpeg.extract_keyframes\n",
      1, 2, cli_cancel },
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
    { "help", ON_HELP, "[VERB]", "this overview, or all about a verb",
      "examples:\n  gantry help submit\n",
      0, 1, cli_help },
    { 0 }
};
// clang-format on
