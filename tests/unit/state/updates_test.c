#include "tests/unit/test.h"

#include "proto/codec.h"
#include "services/state/updates.h"

#include <stdio.h>

enum { ENTRIES = 8, FIELDS = 16 };

/* A reply of stream entries, written by entry(); no memory of its own. */
static struct {
    redisReply reply, entries[ENTRIES], ids[ENTRIES], lists[ENTRIES], texts[ENTRIES][FIELDS];
    redisReply *elements[ENTRIES], *pairs[ENTRIES][2], *fields[ENTRIES][FIELDS];
    char id_texts[ENTRIES][32];
    char words[ENTRIES][512];
} made;

static void text(redisReply *reply, char *bytes)
{
    *reply = (redisReply){ .type = REDIS_REPLY_STRING, .str = bytes, .len = strlen(bytes) };
}

static void array(redisReply *reply, redisReply **elements, size_t count)
{
    *reply = (redisReply){ .type = REDIS_REPLY_ARRAY, .element = elements, .elements = count };
}

static void none(void)
{
    array(&made.reply, made.elements, 0);
}

/* words: name=value,name=value */
static void entry(const char *id, const char *words)
{
    const size_t n = made.reply.elements++;
    size_t count = 0;
    snprintf(made.id_texts[n], sizeof made.id_texts[n], "%s", id);
    snprintf(made.words[n], sizeof made.words[n], "%s", words);
    for (char *at = made.words[n]; at && *at;) {
        char *value = strchr(at, '='), *next = strchr(at, ',');
        *value++ = '\0';
        if (next)
            *next++ = '\0';
        text(&made.texts[n][count], at);
        text(&made.texts[n][count + 1], value);
        count += 2;
        at = next;
    }
    for (size_t i = 0; i < count; i++)
        made.fields[n][i] = &made.texts[n][i];
    text(&made.ids[n], made.id_texts[n]);
    array(&made.lists[n], made.fields[n], count);
    made.pairs[n][0] = &made.ids[n];
    made.pairs[n][1] = &made.lists[n];
    array(&made.entries[n], made.pairs[n], 2);
    made.elements[n] = &made.entries[n];
}

static void read_made(struct updates *updates)
{
    struct updates skimmed = { 0 };
    updates_reset(updates);
    CHECK_INT(updates_read(updates, &made.reply), 0);
    updates_skim(&skimmed, &made.reply);
    CHECK_INT(skimmed.count, 0);
    CHECK_INT(skimmed.entries, updates->entries);
    CHECK_INT(skimmed.first, updates->first);
    CHECK_INT(skimmed.last, updates->last);
    CHECK_INT(skimmed.gap, updates->gap);
}

TEST(transitions_are_numbered_back_from_their_entrys_id)
{
    UNUSED;
    struct updates updates = { 0 };
    none();
    entry("7-0", "at=1700000000000,q=x,2=a/x.y,4=b/x.y c/z.y");
    entry("8-0", "at=1700000000001,q=x,t=5");
    entry("9-0", "at=1700000000002,0=a/x.y");
    read_made(&updates);
    CHECK_INT(updates.count, 4);
    CHECK_INT(updates.entries, 3);
    CHECK_INT(updates.first, 5);
    CHECK_INT(updates.last, 9);
    CHECK(!updates.gap);
    static const uint64_t numbers[] = { 5, 6, 7, 9 };
    static const int states[] = { STATE_RUNNING, STATE_COMPLETED, STATE_COMPLETED, STATE_PENDING };
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(updates.items[i].number, numbers[i]);
        CHECK_INT(updates.items[i].state, states[i]);
    }
    CHECK_SLICE(updates.items[1].id, "b");
    CHECK_SLICE(updates.items[2].task, "z.y");
    CHECK_INT(updates.items[0].at_ms, 1700000000000);
    CHECK_INT(updates.items[3].at_ms, 1700000000002);
    updates_clear(&updates);
}

TEST(missing_numbers_are_a_gap)
{
    UNUSED;
    struct updates updates = { 0 };
    none();
    read_made(&updates);
    CHECK_INT(updates.entries, 0);
    CHECK_INT(updates.last, 0);
    CHECK(!updates.gap);

    entry("5-0", "0=a/x.y");
    entry("8-0", "0=a/x.y b/x.y"); /* 7 and 8: 6 is missing */
    read_made(&updates);
    CHECK(updates.gap);

    none();
    entry("5-0", "0=a/x.y");
    entry("5-1", "0=a/x.y");
    read_made(&updates);
    CHECK(updates.gap);

    none();
    entry("1-0", "0=a/x.y b/x.y"); /* more than there are numbers */
    read_made(&updates);
    CHECK(updates.gap);
    updates_clear(&updates);
}

TEST(strange_words_take_their_number_and_pass_no_filter)
{
    UNUSED;
    struct updates updates = { 0 };
    uint64_t seq = 0;
    none();
    entry("6-0", "at=x,0=junk ../a/x.y a/x a/x.y ,9=b/x.y,00=c/x.y,=d/x.y");
    read_made(&updates);
    CHECK_INT(updates.count, 4); /* a blank at the end begins nothing */
    const struct update_filter filter = { .limit = 10 };
    CHECK_INT(updates_count(&updates, &filter, &seq), 1);
    CHECK_INT(seq, 6);
    CHECK_INT(updates.items[3].number, 6);
    CHECK_SLICE(updates.items[3].id, "a");

    CHECK_INT(updates_number(SLICE("18446744073709551615-0")), 0);
    CHECK_INT(updates_number(SLICE("99999999999999999999999-0")), 0);
    CHECK_INT(updates_number(SLICE("junk")), 0);
    CHECK_INT(updates_number(SLICE("")), 0);
    CHECK_INT(updates_number(SLICE("12-34")), 12);
    updates_clear(&updates);
}

static uint32_t counted(const struct updates *updates, uint64_t since, struct slice id,
                        struct slice service, uint32_t limit, uint64_t *ret_seq)
{
    const struct update_filter filter = { since, id, service, limit };
    return updates_count(updates, &filter, ret_seq);
}

TEST(filters_say_how_far_they_looked)
{
    UNUSED;
    const struct slice all = { 0 };
    struct updates updates = { 0 };
    uint64_t seq = 0;
    none();
    entry("13-0", "0=a/x.y b/x.y a/z.y");
    entry("16-0", "2=a/x.y,4=b/x.y,8=c/z.y");
    read_made(&updates);
    CHECK_INT(counted(&updates, 0, all, all, 100, &seq), 6);
    CHECK_INT(seq, 16);
    CHECK_INT(counted(&updates, 12, all, all, 100, &seq), 4);
    CHECK_INT(counted(&updates, 0, all, all, 4, &seq), 4);
    CHECK_INT(seq, 14);
    CHECK_INT(counted(&updates, 16, all, all, 4, &seq), 0);
    CHECK_INT(seq, 16);
    CHECK_INT(counted(&updates, 99, all, all, 4, &seq), 0);
    CHECK_INT(seq, 99);
    CHECK_INT(counted(&updates, 0, SLICE("a"), all, 100, &seq), 3);
    CHECK_INT(seq, 16);
    CHECK_INT(counted(&updates, 0, all, SLICE("z"), 100, &seq), 2);
    CHECK_INT(counted(&updates, 0, SLICE("a"), SLICE("z"), 1, &seq), 1);
    CHECK_INT(seq, 13);
    CHECK_INT(counted(&updates, 0, SLICE("d"), all, 1, &seq), 0);
    updates_clear(&updates);
}

TEST(the_answer_has_what_passed_and_no_more)
{
    UNUSED;
    struct updates updates = { 0 };
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    struct reader reader;
    struct slice item = { 0 };
    struct m_update told;
    uint32_t count;
    none();
    entry("13-0", "at=1700000000000,0=a/x.y b/x.y a/z.y");
    read_made(&updates);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    const struct update_filter filter = { 11, SLICE("a"), { 0 }, 10 };
    updates_pack(&updates, &filter, 1, &pk);
    CHECK_INT(codec_check(slice_make(buffer.data, buffer.size)), 0);
    CHECK(codec_array(slice_make(buffer.data, buffer.size), &reader, &count));
    CHECK_INT(count, 1);
    CHECK(reader_value(&reader, &item));
    CHECK_INT(message_decode(&m_update_layout, item, &told, NULL), 0);
    CHECK_INT(told.seq, 13);
    CHECK_SLICE(told.id, "a");
    CHECK_SLICE(told.task, "z.y");
    CHECK_SLICE(told.state, "pending");
    CHECK_INT(told.at_ms, 1700000000000);
    msgpack_sbuffer_destroy(&buffer);
    updates_clear(&updates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(transitions_are_numbered_back_from_their_entrys_id),
        HOLDS(missing_numbers_are_a_gap),
        HOLDS(strange_words_take_their_number_and_pass_no_filter),
        HOLDS(filters_say_how_far_they_looked),
        HOLDS(the_answer_has_what_passed_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
