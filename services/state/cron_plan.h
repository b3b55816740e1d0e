#pragma once
/* A schedule's definition: what CRON said of it, checked, packed for Redis, and when it is due. */
#include "proto/message.h"
#include "services/state/catalogue.h"
#include "services/state/cron_time.h"

enum {
    CRON_DEFINITION_MAX = 65536, /* bytes, packed */
    CRON_ID_MAX = CRON_NAME_MAX + 24,
    CRON_TOKEN_SIZE = 16
};

/* [a-z0-9][a-z0-9_-]*, at most CRON_NAME_MAX. */
bool cron_name_valid(struct slice name);

/* All but the node and its input. 0 or a status, told in why with the field. */
int cron_plan_check(const struct m_cron *plan, struct refusal *why);
/* The bytes that Redis keeps, into pk. */
void cron_plan_pack(const struct m_cron *plan, msgpack_packer *pk);
/* plan borrows from packed. False: it is none that this version wrote. */
bool cron_plan_read(struct slice packed, struct m_cron *ret_plan);

/* The first slot after now_ms, 0 when there is none. 0; STATUS_NOT_FOUND: no such zone here;
 * STATUS_INVALID: no such schedule; -ENOMEM. */
int cron_plan_next(const struct m_cron *plan, int64_t now_ms, int64_t *ret_next_ms);
/* The latest slot up to now_ms, which slot_ms is at least. As above. */
int cron_plan_latest(const struct m_cron *plan, int64_t slot_ms, int64_t now_ms,
                     int64_t *ret_latest_ms);

/* The task of a slot: whoever fires it, it is the same submit. */
void cron_plan_id(struct slice name, int64_t slot_ms, char id[CRON_ID_MAX]);
void cron_plan_token(struct slice name, int64_t slot_ms, uint8_t token[CRON_TOKEN_SIZE]);
