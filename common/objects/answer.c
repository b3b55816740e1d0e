#include "common/objects/answer.h"

#include "common/objects/name.h"
#include "common/status.h"
#include "common/utf8.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { DEPTH_MAX = 12, PAGE_DEPTH = 2, ROW_DEPTH = 3, ELEMENT_MAX = 64 };

struct reader {
    XML_Parser parser;
    struct answer_page page;
    struct answer_row row;
    answer_row_fn *each;
    void *arg;
    bool coded;
    int result;
    int depth;
    char names[ROW_DEPTH][ELEMENT_MAX]; /* of the elements that it is within, the root first */
    size_t size;                        /* of text */
    char text[ANSWER_TEXT_MAX];         /* of the innermost element, so far */
};

/* ---- texts ----------------------------------------------------------------------------------- */

int64_t answer_time_ms(const char *text)
{
    struct tm tm = { 0 };
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    long ms = 0;
    if (!rest)
        return 0;
    if (rest[0] == '.')
        ms = strtol(rest + 1, NULL, 10);
    return (int64_t)timegm(&tm) * 1000 + (ms >= 0 && ms < 1000 ? ms : 0);
}

void answer_etag(const char *text, char ret_etag[OBJECTS_ETAG_MAX])
{
    struct slice bare = slice_of(text);
    if (bare.size >= 2 && text[0] == '"' && text[bare.size - 1] == '"')
        bare = slice_make(text + 1, bare.size - 2);
    (void)slice_copy(bare, ret_etag, OBJECTS_ETAG_MAX);
}

/* Of a person's sort: cut and made fit for logs. */
static void keep_text(const char *text, char *ret_text, size_t size)
{
    const size_t kept = utf8_cut(text, size - 1);
    memcpy(ret_text, text, kept);
    ret_text[kept] = '\0';
    utf8_clean(ret_text);
}

static bool keep_exact(const char *text, char *ret_text, size_t size)
{
    return slice_copy(slice_of(text), ret_text, size);
}

static bool keep_key(const struct reader *self, char *ret_key)
{
    (void)slice_copy(slice_of(self->text), ret_key, ANSWER_TEXT_MAX);
    return !self->coded || name_decode(ret_key, true);
}

static bool keep_number(const char *text, uint64_t *ret_number)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0';
}

/* ---- fields ---------------------------------------------------------------------------------- */

static bool take_page_text(struct answer_page *page, const char *name, const char *text)
{
    if (strcmp(name, "Code") == 0)
        keep_text(text, page->code, sizeof page->code);
    else if (strcmp(name, "Message") == 0)
        keep_text(text, page->message, sizeof page->message);
    else if (strcmp(name, "UploadId") == 0)
        return keep_exact(text, page->upload, sizeof page->upload);
    else if (strcmp(name, "NextUploadIdMarker") == 0)
        return keep_exact(text, page->next_upload, sizeof page->next_upload);
    else if (strcmp(name, "IsTruncated") == 0)
        page->truncated = strcmp(text, "true") == 0;
    else if (strcmp(name, "ETag") == 0)
        answer_etag(text, page->etag);
    return true;
}

static bool take_page_field(struct reader *self, const char *name)
{
    struct answer_page *page = &self->page;
    if (strcmp(name, "EncodingType") == 0)
        page->coded = strcmp(self->text, "url") == 0;
    else if (strcmp(name, "NextKeyMarker") == 0)
        return keep_key(self, page->next);
    else if (strcmp(name, "NextContinuationToken") == 0 ||
             strcmp(name, "NextPartNumberMarker") == 0)
        return keep_exact(self->text, page->next, sizeof page->next);
    return take_page_text(page, name, self->text);
}

static bool take_row_field(struct reader *self, const char *name)
{
    struct answer_row *row = &self->row;
    uint64_t number;
    if (strcmp(name, "Key") == 0)
        return keep_key(self, row->key);
    if (strcmp(name, "UploadId") == 0)
        return keep_exact(self->text, row->upload, sizeof row->upload);
    if (strcmp(name, "Size") == 0)
        return keep_number(self->text, &row->bytes);
    if (strcmp(name, "PartNumber") == 0) {
        if (!keep_number(self->text, &number) || number > OBJECTS_PARTS_MAX)
            return false;
        row->part = (uint32_t)number;
    }
    if (strcmp(name, "ETag") == 0)
        answer_etag(self->text, row->etag);
    if (strcmp(name, "LastModified") == 0)
        row->modified_ms = answer_time_ms(self->text);
    if (strcmp(name, "Code") == 0)
        keep_text(self->text, row->code, sizeof row->code);
    return true;
}

static bool is_row(const char *name)
{
    static const char *const rows[] = { "Contents", "Part", "Upload", "Error" };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i], name) == 0)
            return true;
    return false;
}

/* ---- what expat calls ------------------------------------------------------------------------ */

static void give_up(struct reader *self, int result)
{
    self->result = result;
    (void)XML_StopParser(self->parser, XML_FALSE);
}

static void XMLCALL on_doctype(void *arg, const char *name, const char *system, const char *public,
                               int internal)
{
    (void)name;
    (void)system;
    (void)public;
    (void)internal;
    give_up(arg,
            STATUS_MALFORMED); /* nothing of the store's has one; entities are declared there */
}

static void XMLCALL on_begin(void *arg, const char *name, const char **attributes)
{
    struct reader *self = arg;
    (void)attributes;
    if (self->depth == DEPTH_MAX) {
        give_up(self, STATUS_MALFORMED);
        return;
    }
    if (self->depth < ROW_DEPTH)
        (void)snprintf(self->names[self->depth], ELEMENT_MAX, "%s", name);
    self->depth++;
    self->size = 0;
    if (self->depth == PAGE_DEPTH)
        memset(&self->row, 0, sizeof self->row);
}

static void XMLCALL on_text(void *arg, const char *text, int size)
{
    struct reader *self = arg;
    if (self->size + (size_t)size >= sizeof self->text) {
        give_up(self, STATUS_MALFORMED);
        return;
    }
    memcpy(self->text + self->size, text, (size_t)size);
    self->size += (size_t)size;
}

static int on_row(struct reader *self)
{
    return self->each ? self->each(self->arg, &self->row) : 0;
}

static void XMLCALL on_end(void *arg, const char *name)
{
    struct reader *self = arg;
    bool good = true;
    (void)name;
    self->text[self->size] = '\0';
    if (self->depth == PAGE_DEPTH && is_row(self->names[1]))
        self->result = on_row(self);
    else if (self->depth == PAGE_DEPTH)
        good = take_page_field(self, self->names[1]);
    else if (self->depth == ROW_DEPTH && is_row(self->names[1]))
        good = take_row_field(self, self->names[2]);
    self->depth--;
    self->size = 0;
    if (!good || self->result)
        give_up(self, good ? self->result : STATUS_MALFORMED);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int parse(struct reader *self, struct slice xml)
{
    if (xml.size > INT32_MAX)
        return STATUS_MALFORMED;
    self->parser = XML_ParserCreate(NULL);
    if (!self->parser)
        return -ENOMEM;
    XML_SetUserData(self->parser, self);
    XML_SetElementHandler(self->parser, on_begin, on_end);
    XML_SetCharacterDataHandler(self->parser, on_text);
    XML_SetStartDoctypeDeclHandler(self->parser, on_doctype);
    const bool read = XML_Parse(self->parser, xml.data, (int)xml.size, 1) == XML_STATUS_OK;
    const bool full = XML_GetErrorCode(self->parser) == XML_ERROR_NO_MEMORY;
    XML_ParserFree(self->parser);
    if (read || self->result)
        return self->result;
    return full ? -ENOMEM : STATUS_MALFORMED;
}

/* Blanks keep a link alive while the store works, and stand before the declaration then. */
static struct slice without_blanks(struct slice xml)
{
    const char *bytes = xml.data;
    size_t at = 0;
    while (at < xml.size && strchr(" \t\r\n", bytes[at]) && bytes[at])
        at++;
    return slice_make(bytes ? bytes + at : NULL, xml.size - at);
}

/* Twice: whether keys are encoded may stand behind them. */
int answer_read(const char *root, struct slice xml, struct answer_page *ret_page,
                answer_row_fn *each, void *arg)
{
    struct reader *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    xml = without_blanks(xml);
    int r = parse(self, xml);
    if (r == 0 && root && strcmp(self->names[0], root) != 0)
        r = STATUS_MALFORMED;
    if (r == 0 && (each || self->page.coded)) {
        const bool coded = self->page.coded;
        memset(self, 0, sizeof *self);
        self->each = each;
        self->arg = arg;
        self->coded = coded;
        r = parse(self, xml);
    }
    if (r == 0) {
        *ret_page = self->page;
        (void)snprintf(ret_page->root, sizeof ret_page->root, "%s", self->names[0]);
    }
    free(self);
    return r;
}
