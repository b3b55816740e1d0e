#include "services/node/node.h"

int main(int argc, char **argv)
{
    return program_main(&node_program, argc, argv);
}
