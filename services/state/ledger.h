#pragma once
/* What was accepted and where all of it is, out of gantry_ledger's reply. */
#include "proto/message.h"

#include <hiredis/hiredis.h>

/* 0, or STATUS_INTERNAL: a reply of another shape. Names without a field are left out. */
int ledger_read(const redisReply *reply, struct m_ledger *ret_ledger);
