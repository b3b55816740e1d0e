#pragma once
/* The settings that engines need, on their way to them: by name, as text, in the second value on
 * their standard input. What is secret goes neither into the environment nor onto a command line,
 * which whatever they start would inherit. */
#include "common/settings.h"
#include "services/worker/packed.h"

#include <stdbool.h>

/* Whether engines get the setting of this name. */
bool setting_is_passed(const char *name);
/* Packs a map into what was empty. Paths, those of sockets too, are made absolute: engines run in
 * another folder. 0, -ENAMETOOLONG, -ENOMEM or what getcwd() failed with. */
int pass_settings(const struct settings *settings, struct packed *ret_map);
