#include "broker/program.h"

int main(int argc, char **argv)
{
    return program_main(&broker_row, argc, argv);
}
