#include "tests/unit/test.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"
#include "proto/mint.h"
#include "proto/parcel.h"

#include <stdlib.h>

static void put(struct parcel *parcel, unsigned count)
{
    msgpack_packer pk = parcel_packer(parcel);
    parcel_start(parcel);
    for (unsigned i = 0; i < count; i++) {
        msgpack_pack_unsigned_int(&pk, i);
        parcel_keep(parcel);
    }
}

TEST(a_parcel_is_an_array_with_the_shortest_head)
{
    UNUSED;
    static const struct {
        unsigned count;
        size_t head;
    } rows[] = { { 0, 1 }, { 15, 1 }, { 16, 3 }, { 65535, 3 }, { 65536, 5 } };
    scoped_in(parcel) parcel = { 0 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reader reader;
        uint32_t count;
        put(&parcel, rows[i].count);
        size_t items = parcel_item(&parcel, parcel_mark(&parcel)).size;
        struct slice array = parcel_array(&parcel);
        CHECK_INT(items, 0);
        CHECK_INT(codec_check(array), 0);
        CHECK(codec_array(array, &reader, &count));
        CHECK_INT(count, rows[i].count);
        CHECK_INT((size_t)(reader.at - (const uint8_t *)array.data), rows[i].head);
    }
}

TEST(the_last_item_can_be_taken_back)
{
    UNUSED;
    scoped_in(parcel) parcel = { 0 };
    zmq_msg_t body;
    put(&parcel, 2);
    size_t mark = parcel_mark(&parcel);
    msgpack_packer pk = parcel_packer(&parcel);
    pack_text(&pk, "too much");
    CHECK_SLICE(parcel_item(&parcel, mark), "\xa8too much");
    parcel_cut(&parcel, mark);
    CHECK_INT(parcel_take(&parcel, &body), 0);
    CHECK_INT(zmq_msg_size(&body), 3);
    assert_memory_equal(zmq_msg_data(&body), "\x92\x00\x01", 3);
    zmq_msg_close(&body);
    CHECK_INT(parcel_take_bare(&parcel, &body), 0);
    CHECK_INT(zmq_msg_size(&body), 2);
    zmq_msg_close(&body);
}

TEST(ids_are_random_uuids)
{
    UNUSED;
    char text[MINT_UUID_TEXT];
    uint8_t bytes[16], others[16];
    CHECK_INT(mint_bytes(bytes, sizeof bytes), 0);
    CHECK_INT(mint_bytes(others, sizeof others), 0);
    assert_memory_not_equal(bytes, others, sizeof bytes);
    memset(bytes, 0xff, sizeof bytes);
    mint_uuid(bytes, text);
    CHECK_TEXT(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOLDS(a_parcel_is_an_array_with_the_shortest_head),
        HOLDS(the_last_item_can_be_taken_back),
        HOLDS(ids_are_random_uuids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
