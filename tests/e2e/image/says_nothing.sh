#!/bin/sh
# A program that prints no JSON.
cat >/dev/null
echo "this is no JSON"
