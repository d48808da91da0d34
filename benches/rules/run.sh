#!/bin/sh
# Scores the networks: run.sh REFDATA NETS DEMO SCORE OUT NAME...
# REFDATA is the folder of the reference data, NETS that of resnet32.th, resnet44.th and resnet56.th
# of the registry, DEMO that of the demonstration, SCORE the program. KINDS may name the sets to make.
set -e
REF=$1; NETS=$2; DEMO=$3; SCORE=$4; OUT=$5
shift 5
SETS="--in-dataset $REF/sets/cifar10 --out-dataset $REF/sets/Imagenet --out-dataset $REF/sets/Imagenet_resize --out-dataset $REF/sets/sun_crop --out-dataset $REF/sets/sun_resize"
GRID="--temperatures 1,10,1000 --magnitudes 0,0.0004,0.0008,0.0012,0.0014,0.0016,0.002,0.0028,0.004"
COUNTS="--n-out 200 --n-noise 60 --n-pairs 400"
[ -z "$KINDS" ] || COUNTS="$COUNTS --made $KINDS"
IMAGENET="--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225"
for name; do
    case $name in
    demo) $SCORE --nn "$DEMO/model.safetensors" --in-dataset "$DEMO/in.npy" --labels "$OUT/demo_labels.txt" --out-dataset "$DEMO/near.npy" $GRID $COUNTS -o "$OUT/demo" ;;
    resnet_4b) $SCORE --nn "$REF/onnx/resnet_4b.onnx" --mean 0.4914,0.4822,0.4465 --std 0.2471,0.2435,0.2616 $SETS $GRID $COUNTS -o "$OUT/resnet_4b" ;;
    biasfield) $SCORE --nn "$REF/onnx/cifar_biasfield_base.onnx" --mean 0.4914,0.4822,0.4465 --std 0.2023,0.1994,0.2010 $SETS $GRID $COUNTS -o "$OUT/biasfield" ;;
    resnet20) $SCORE --nn "$REF/weights/resnet20_cifar10.th" $IMAGENET $SETS $GRID $COUNTS -o "$OUT/resnet20" ;;
    resnet*) $SCORE --nn "$NETS/$name.th" $IMAGENET $SETS $GRID $COUNTS -o "$OUT/$name" ;;
    densenet10) $SCORE --nn "$REF/weights/densenet_bc_100_12_cifar10.pth" --mean 0.49137255,0.48235294,0.44666667 --std 0.24705882,0.24352941,0.26156863 $SETS $GRID $COUNTS -o "$OUT/densenet10" ;;
    esac
done
