#include "services/front/route.h"

static void on_health(request_t *request)
{
    request_answer(request, 200, json_pack("{s:s}", "status", "ok"));
}

const struct route routes_service[] = {
    { .method = "GET",
      .path = "/healthz",
      .summary = "The process runs",
      .handle = on_health,
      .answer = "Health" },
    { 0 },
};
