#pragma once
/* Figures in the text format of Prometheus, 0.0.4. */
#include "proto/message.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* disk NULL: it is not known. The caller's to free; NULL when out of memory. */
char *metrics_text(const struct m_ledger *ledger, const struct m_disk_use *disk);
