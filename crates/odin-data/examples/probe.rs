use odin_data::*;
use std::path::Path;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    // probe decode FILE... : writes FILE.raw rgb CHW
    if args[1] == "decode" {
        for f in &args[2..] {
            match Image::decode(&std::fs::read(f).unwrap(), f, None) {
                Ok(i) => {
                    println!("{f} ok {}x{}", i.height, i.width);
                    std::fs::write(
                        format!("{f}.raw"),
                        i.pixels
                            .iter()
                            .map(|v| (v * 255.0).round() as u8)
                            .collect::<Vec<_>>(),
                    )
                    .unwrap();
                }
                Err(e) => println!("{e}"),
            }
        }
    } else if args[1] == "resize" {
        let list = std::fs::read_to_string(&args[2]).unwrap();
        for line in list.lines() {
            let p: Vec<&str> = line.split(' ').collect();
            let i = open(Path::new(p[0]), &OpenOptions::default())
                .unwrap()
                .get(0)
                .unwrap()
                .image;
            let t: Transform = p[1].parse().unwrap();
            let o = t.apply(&i, 0).unwrap();
            std::fs::write(
                p[2],
                o.pixels
                    .iter()
                    .map(|v| (v * 255.0).round() as u8)
                    .collect::<Vec<_>>(),
            )
            .unwrap();
        }
    } else {
        let t = std::time::Instant::now();
        match open(Path::new(&args[2]), &OpenOptions::default()) {
            Ok(s) => {
                println!(
                    "{} {} {:?} {:?} open {:?}",
                    s.name(),
                    s.len(),
                    s.sample_name(0),
                    s.notes(),
                    t.elapsed()
                );
                let t = std::time::Instant::now();
                let n = s.len().min(10000);
                for i in 0..n {
                    if let Err(e) = s.get(i) {
                        println!("{e}");
                        break;
                    }
                }
                println!("{n} images {:?}", t.elapsed());
            }
            Err(e) => println!("{e}"),
        }
    }
}
