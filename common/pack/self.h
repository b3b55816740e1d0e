#pragma once
/* What the files of this room share. */
#include "common/pack/pack.h"

#include <locale.h>

enum { PACK_BUFFER = 65536 };

/* Why a name cannot be a member's, or NULL: it can. What unpack() takes is what pack_folder() puts
 * in. */
const char *pack_name_wrong(struct slice name);

/* Writes a sentence, of which foreign bytes are made fit to be shown; answers result. */
int pack_says(char message[PACK_MESSAGE], int result, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same of a result that nothing was said of yet. */
int pack_says_result(char message[PACK_MESSAGE], int result);

/* libarchive takes names for text in the locale's encoding: in the C locale, which services run in,
 * those with other letters than ASCII are NULL. So this thread's is UTF-8 meanwhile; setlocale()
 * would change it for the threads of the whole process, and the programs that it starts. */
struct pack_locale {
    locale_t mine, before;
};
/* 0 or -errno. */
int pack_locale_init(struct pack_locale *self);
void pack_locale_clear(struct pack_locale *self);
